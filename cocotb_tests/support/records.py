"""What every record of a measurement has, whatever command made it."""

RECORD_FIELDS = {
    "op",
    "algo",
    "backend",
    "dtype",
    "redop",
    "endpoints",
    "size_bytes",
    "cycles",
    "time_s",
    "algbw_GBps",
    "busbw_GBps",
    "util",
    "wrong",
    "status",
    "sync_included",
    "seed",
}
