"""People in, recordings and datasets out: devices, retargeting, recorder."""
