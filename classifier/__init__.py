"""Tickets and answers: what is asked, what is answered, what was right. Knows nothing of training or promotion."""
