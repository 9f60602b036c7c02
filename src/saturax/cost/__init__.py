"""What programs cost on this device: calibration, measured prices and the model."""
