"""Speed, side by side in one run: times are reported here and asserted nowhere."""
