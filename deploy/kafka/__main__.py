from deploy.kafka.local import main

main()
