"""The configuration as files in git: ``tocsin pull|diff|test|push|backtest``, over the HTTP API.

``kinds``      what is configured, and each document as files and server are compared in
``documents``  YAML that keeps comments, and the line of a field
``folder``     the layout on disk, and what the server had at the last pull
``server``     the API, as these commands use it
``plan``       what a push would do: pure
``checks``     everything that can be said of files without a server
``pulling`` ``pushing`` ``backtesting`` do it; ``tables`` shows it; ``cli`` has the commands
"""
