"""What commands say and write: records, tables, plots, progress, files."""
