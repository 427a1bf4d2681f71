"""Studies executed and shown: pages, their checks, and the site made of them."""
