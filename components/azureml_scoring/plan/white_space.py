"""White space as Docker's programs have it."""

from typing import Final

SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Unicode's property White_Space, which Go's unicode.IsSpace tests; str.isspace has more."""
