"""How compiled code runs. Imports none of the other packages and no xDSL."""
