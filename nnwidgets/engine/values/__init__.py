"""Values: what is measured and what is asked for, as records that refuse bad content at birth."""
