"""The topic `stats`: the shop's activity in this second and the last minutes. Counted from the log while somebody
watches, and looked up where the log does not say."""
