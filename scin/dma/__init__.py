"""Host side of the DMA engines: commands, driver, collectives, the command line."""
