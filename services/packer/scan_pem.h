/* scan_pem - private keys in PEM (RFC 7468). Looked for is the body: each stretch of 64 of its characters in a row, as it is or on lines of another width; some of its lines in all forms; and its DER.
 * Not looked for is what is public of it (its public key, which a certificate or an id_rsa.pub has, too) and the first characters, which all keys of a kind share.
 */
#ifndef PACKER_SCAN_PEM_H
#define PACKER_SCAN_PEM_H

#include "services/packer/scan_values.h"

/* False: there is no PEM in it; nothing was added. */
bool scan_pem_add(struct values *values, const char *path, const uint8_t *bytes, size_t len);

#endif
