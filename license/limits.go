package license

import "time"

const (
	// tokensMax bounds the tokens, some 300 bytes each; a fleet has some hundred gateways.
	tokensMax = 10_000
	// accountsMax and productsMax bound what one daemon administers, some 1 KiB each: more than this are several
	// operators, and a daemon each serves them better.
	accountsMax = 100_000
	productsMax = 100_000
	// ordersMax bounds the orders of a product, takings-back included. A change copies the list that it adds to, with
	// nobody deciding: 80 KB at most. One order a day fills it in 27 years.
	ordersMax = 10_000
	// noRenewMax bounds the devices of a product that are excepted from renewal by name: 640 KB of names in one change.
	noRenewMax = 10_000
	// sweepsMax bounds the suspensions whose devices are still being taken offline: each takes the time of one pass over
	// the device table.
	sweepsMax = 1000
	// hooksMax and hooksAccountMax bound the webhooks, in all and of one account or of the daemon: each has a goroutine, a
	// connection and a queue of its own.
	hooksMax, hooksAccountMax = 500, 20
	// hookURLBytesMax bounds a webhook's URL: more does not pass every proxy on the way.
	hookURLBytesMax = 2048
	// HookLowPercent is how much of a product's total is left when a hook is told, unless it says otherwise.
	HookLowPercent = 10
	// HookSecretKept is how long a secret that was replaced signs beside the new one: receivers change over meanwhile.
	HookSecretKept = 24 * time.Hour
	// erasuresMax bounds the devices whose logs were erased within the log's retention, some 300 bytes each: 7000 a day
	// for a week. Each is looked for in every directory of the archive once.
	erasuresMax = 50_000
	// namesMax bounds the names that a cluster's cell 0 has given to objects of other cells, some 300 bytes each: those of
	// all accounts and products of twelve cells are more than that only if one operator has more of them than two daemons
	// can have. namesOpenMax bounds those that are being given at once, whose list each change of it copies: each is a
	// request that waits for two cells.
	namesMax, namesOpenMax = 500_000, 1000
	// mirrorObjectsMax bounds the tokens and webhooks of one change that takes them over from cell 0, some 300 bytes each,
	// with nobody deciding.
	mirrorObjectsMax = 1000
	// labelBytesMax bounds what people call a product.
	labelBytesMax = 256

	// productIDMax is the largest ordinal of a product: the device table has 24 bits for it.
	productIDMax = 1<<24 - 1
	// poolsMax is the largest ordinal of a pool: the device table has 31 bits for it.
	poolsMax = 1<<31 - 1
	// validitiesMax is how often a product's validity may have been set: the device table has 10 bits for its version.
	validitiesMax = 1 << 10
)
