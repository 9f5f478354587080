"""What every part uses: errors, files, registries, and the frame of the scripts."""

if __name__ == "util":  # by the name of earlier versions
    from coopcut.util.earlier_names import lead_on

    lead_on(__name__)
