"""What a run shows and keeps."""
