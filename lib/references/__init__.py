"""What every study is compared with: TF-IDF, frozen embeddings, the majority, labels of a file."""
