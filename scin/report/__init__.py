"""What commands say: records, and the schema they follow."""
