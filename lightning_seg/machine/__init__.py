"""What runs are trained on: devices, memory, speed."""
