"""What the sentence encoder reads in examples and studies."""

SENTENCES = (
    "The switch reads every accelerator's memory and reduces what it finds.",
    "An in-network accelerator sums the partial results of all processors.",
    "Credits keep a sender from overflowing the queues of its receiver.",
    "Flow control stops packets before a buffer runs full.",
    "She planted tomatoes behind the house in early spring.",
    "In April the garden was full of young vegetables.",
    "The train to the coast leaves at half past seven.",
    "How long does the journey to the seaside take by rail?",
    "The orchestra rehearsed the slow movement twice before lunch.",
    "Musicians practised a symphony for the evening concert.",
    "A violin needs new strings about once a year.",
    "Interest rates fell for the third month in a row.",
    "The central bank made borrowing cheaper again.",
    "Investors moved their savings into government bonds.",
    "A cold front brings rain to the northern valleys tonight.",
    "Expect showers in the mountains after sunset.",
    "The glacier has lost a third of its ice since 1950.",
    "Doctors advise to sleep eight hours and to walk every day.",
    "Regular exercise and enough rest keep the heart healthy.",
    "The vaccine was tested on thirty thousand volunteers.",
    "Our goalkeeper saved two penalties in the final.",
    "The home team won the championship after extra time.",
    "He fixed the leaking tap with a rubber washer.",
    "The plumber replaced the pipe under the kitchen sink.",
)
"""24 sentences make 276 pairs, some near in meaning, most not."""
