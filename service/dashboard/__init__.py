"""The dashboard: pages made on the server from the same objects that the API answers from."""
