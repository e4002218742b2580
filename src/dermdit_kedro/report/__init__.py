"""What a finished run says: figures, a verdict by rules, a summary for machines and one page for people."""
