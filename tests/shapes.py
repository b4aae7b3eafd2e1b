"""The type checker behind the import hook of `conftest.py`: beartype, with an int allowed where a
float is (PEP 484).
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
