"""Pure forecasting: arrays and frames in, forecasts out; no HTTP, no database, no clock."""
