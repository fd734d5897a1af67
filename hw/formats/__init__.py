"""Number formats. Each file here registers one; the reduction datapath takes them all."""

from hw.formats import bf16, fp16
from hw.formats.floating import FloatFormat

FORMATS: dict[int, FloatFormat] = {entry.code.value: entry for entry in (fp16.FORMAT, bf16.FORMAT)}
