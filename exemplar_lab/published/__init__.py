"""What the four papers print: their eleven tables as data, with their source, and what follows from them alone."""
