"""What the in-switch accelerator is compared with, on the same fabric."""
