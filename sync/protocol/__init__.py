"""What device and server say to each other: version 1 of the upload protocol.

A device sends a :class:`Batch` of records as zstd-compressed JSON; the server commits it and
answers with an :class:`Ack`. Records are told apart by (device, stream, seq): ``seq`` counts 1, 2,
3, … without gaps within a ``stream``, which names one journal database. Sending a record again is
harmless. Records may arrive in any order; what the device gave up arrives as kind ``dropped``.
"""
