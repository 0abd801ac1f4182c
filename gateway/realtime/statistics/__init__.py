"""The topic `stats`: what the shop does this second, and in the last minutes. Counted from the log while somebody
watches, and looked up where the log cannot say it."""
