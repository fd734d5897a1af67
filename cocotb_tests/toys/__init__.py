"""One small example of everything that can be added; test_extending.py adds and uses them."""
