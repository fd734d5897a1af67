"""From a description of hardware to what runs: netlists, simulators, and where they are kept."""
