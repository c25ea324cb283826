"""What torchmetrics lacks."""
