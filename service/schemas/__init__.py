"""The JSON that goes in and out over HTTP, as it stands in the OpenAPI document."""
