"""A prompt for every image: instructions, captioners, audit, and the text encoder that reads them."""
