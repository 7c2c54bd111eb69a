"""How fast the program is, beside reference points that are measured in the same run."""
