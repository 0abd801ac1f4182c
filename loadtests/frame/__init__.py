"""What all scenarios stand on: when arrivals are due, who shops, what is told, what is watched, and the verdict at the
end. It talks to a system through its public API alone, so that it may run on any machine.
"""
