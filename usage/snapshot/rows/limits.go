package rows

// lookEvery is how many rows pass between two looks whether the context has ended.
const lookEvery = 4096
