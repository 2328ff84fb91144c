from liquida.cli import main

main()
