"""Does the simulator agree with the RTL?"""
