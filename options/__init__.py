"""Options: declared, parsed, checked and saved."""

if __name__ == "options":  # by the name of earlier versions
    from coopcut.util.earlier_names import lead_on

    lead_on(__name__)
