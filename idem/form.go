package idem

import "errors"

// What a Guard stores is packed: compressed and sealed, as Config says.

// form says what a stored value is.
type form byte

const (
	formOutcome  form = 1 // of the run that its record's token names; a resolution has no token
	formProgress form = 2 // of the key, whichever run saved it
)

// context is what a sealed value is bound to.
func (f form) context(l Lease) []byte {
	b := append([]byte{byte(f)}, appendPrefixed(nil, string(l.Key))...)
	if f == formOutcome {
		b = append(b, l.Token[:]...)
	}
	return b
}

var (
	errNoKeyring = errors.New("it is sealed, and Config.Seal is nil")
	errUnsealed  = errors.New("it is not sealed; see Keyring.AcceptUnsealed")
)

// pack turns an encoded outcome, or progress, into what is stored. nil stays nil.
func (g *Guard) pack(f form, l Lease, data []byte) []byte {
	if data == nil {
		return nil
	}
	if least := g.config.Compress; least > 0 && len(data) >= least {
		data = g.pool.deflate(data)
	}
	if k := g.config.Seal; k != nil {
		data = k.seal(f.context(l), data)
	}
	return data
}

// unpack undoes pack.
func (g *Guard) unpack(f form, l Lease, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	data, err := g.unseal(f, l, data)
	if err != nil || len(data) == 0 || data[0] != tagDeflated {
		return data, err
	}
	return g.pool.inflate(data)
}

func (g *Guard) unseal(f form, l Lease, data []byte) ([]byte, error) {
	k, sealed := g.config.Seal, data[0] == tagSealed
	switch {
	case sealed && k == nil:
		return nil, errNoKeyring
	case sealed:
		return k.open(f.context(l), data)
	case k != nil && !k.plain:
		return nil, errUnsealed
	default:
		return data, nil
	}
}
