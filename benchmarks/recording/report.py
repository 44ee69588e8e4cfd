def table(result):
    return "\n".join(f"{k} {v}" for k, v in result["ratios"].items())


def write(result):
    pass
