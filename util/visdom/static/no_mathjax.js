/* Formulas are not drawn: a "$" in a name is a "$". */
