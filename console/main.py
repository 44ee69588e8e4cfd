def main() -> None:
    print("akashi")
