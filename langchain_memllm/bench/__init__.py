"""How often recall finds what answers, beside plain search: ``memllm bench recall``; ``gate`` measures memory gates.

``data`` reads what is asked: facts or messages, and questions with the evidence that answers them. ``rivals`` ranks it
by full text, by vectors and by their fusion, ``ours`` by the memory itself. ``scoring`` makes figures with intervals of
the ranks; ``report`` keeps, prints and compares them. Nothing is fetched, and a report holds ranks, no text.
"""
