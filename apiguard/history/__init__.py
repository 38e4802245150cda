"""What the recorded changes of policy come to: replayed, compared with the rows, taken back."""
