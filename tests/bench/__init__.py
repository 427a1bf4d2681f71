"""How fast this project trains, prepares data, labels and answers: `make bench` measures it beside
Hugging Face's libraries and writes a page. Not part of `make test`."""
