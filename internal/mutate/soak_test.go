package mutate

import _ "github.com/shmconn/shmconn/internal/soak" // the flag -soak
