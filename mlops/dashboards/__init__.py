"""What the pages show: each module reads rows and gives plain figures, words and charts. Nothing here writes."""
