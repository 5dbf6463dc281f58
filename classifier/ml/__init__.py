"""The mathematics: texts to features, fits, scores. Knows no framework, no clock, no database; imports nothing here."""
