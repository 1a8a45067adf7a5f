"""The one error of this package."""


class WireError(Exception):
    """Bytes that a receiver refuses. Behind them every boundary is a guess: nothing more is read (FRAME-22).

    code    the name of the code for Error, MALFORMED or FRAME_TOO_LARGE
    clause  the clause that was broken, as FRAME-10
    offset  where, in bytes from the start of the stream
    """

    def __init__(self, code: str, clause: str, offset: int, says: str) -> None:
        super().__init__(f"{code} at byte {offset}: {says} ({clause})")
        self.code = code
        self.clause = clause
        self.offset = offset
        self.says = says
