/* A GM/T 0018 device in software for the tests, over libcrypto.
 *
 * It counts calls per function, can fail the n-th call of any function (stub_fail), can be unplugged (stub_lost),
 * demands the access code before a private key is used, and refuses handles that another process made.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK 0
#define COMMFAIL 0x01000003
#define PARDENY 0x01000007
#define KEYNOTEXIST 0x01000008
#define SKOPERR 0x0100000C
#define VERIFYERR 0x0100000E
#define SYMOPERR 0x0100000F
#define STEPERR 0x01000010
#define ENCDATAERR 0x01000016
#define RANDERR 0x01000017
#define PRKRERR 0x01000018
#define INARGERR 0x0100001D

typedef unsigned char B;
typedef unsigned int U;
typedef struct { U bits; B x[64], y[64]; } Pub;
typedef struct { U bits; B K[64]; } Priv;
typedef struct { B r[64], s[64]; } Sig;
typedef struct { B x[64], y[64], M[32]; U L; B C[1]; } Cipher;
typedef struct { pid_t pid; } Device;
typedef struct { pid_t pid; unsigned rights; EVP_MD_CTX *hash; } Session;
typedef struct { pid_t pid; B key[16]; } Key;

enum { KEYS = 3, NAMES = 32 };
static const char *PIN = "12345678";
static const char *SECRETS[KEYS][2] = {
    {"3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
     "1649ab77a00637bd5e2efe283fbf353534aa7f7cb89463f208ddbc2920bb0da0"},
    {"6fcba2ef9ae0ab902bc3bde3ff915d44ba4cc78f88e2f8e7f8996d3b8cceedee",
     "5e35d7d3f3c54dbac72e61819e730b019a84208ca3a35e4c2e353dfccb2a3b53"},
    {"128b2fa8bd433c6c068c8d803dff79792a519a55171b1b650c23661d15897263",
     "2a4e7c8b1d3f5a6978c0d2e4f60718293a4b5c6d7e8f90123456789abcdef012"},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char name[40]; int calls, fail_at, code; } counters[NAMES];
static int lost, sessions, devices;

static int enter(const char *name) {
    int code = OK, i;
    pthread_mutex_lock(&lock);
    for (i = 0; i < NAMES && counters[i].name[0] && strcmp(counters[i].name, name); i++);
    if (i < NAMES) {
        strncpy(counters[i].name, name, 39);
        counters[i].calls++;
        if (counters[i].fail_at && counters[i].calls == counters[i].fail_at) code = counters[i].code;
    }
    if (lost && !code) code = COMMFAIL;
    pthread_mutex_unlock(&lock);
    return code;
}
#define ENTER do { int code_ = enter(__func__); if (code_) return code_; } while (0)
#define SESSION Session *s = h; ENTER; if (!s || s->pid != getpid()) return COMMFAIL

void stub_reset(void) { memset(counters, 0, sizeof counters); lost = sessions = devices = 0; }
void stub_lost(int yes) { lost = yes; }
int stub_sessions(void) { return sessions; }
int stub_devices(void) { return devices; }
int stub_count(const char *name) {
    for (int i = 0; i < NAMES; i++) if (!strcmp(counters[i].name, name)) return counters[i].calls;
    return 0;
}
void stub_fail(const char *name, int nth, int code) {
    int i;
    for (i = 0; i < NAMES - 1 && counters[i].name[0] && strcmp(counters[i].name, name); i++);
    strncpy(counters[i].name, name, 39);
    counters[i].fail_at = counters[i].calls + nth;
    counters[i].code = code;
}

static EVP_PKEY *typed(EC_KEY *ec, int private) {
    /* Through DER, because only decoding gives a key of type SM2. */
    B *der = NULL;
    const B *at;
    int size = private ? i2d_ECPrivateKey(ec, &der) : i2d_EC_PUBKEY(ec, &der);
    EVP_PKEY *key = NULL;
    at = der;
    if (size > 0) key = private ? d2i_AutoPrivateKey(NULL, &at, size) : d2i_PUBKEY(NULL, &at, size);
    OPENSSL_free(der);
    EC_KEY_free(ec);
    return key;
}

static EC_KEY *from_secret(const BIGNUM *d) {
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_sm2);
    EC_POINT *q = EC_POINT_new(EC_KEY_get0_group(ec));
    EC_POINT_mul(EC_KEY_get0_group(ec), q, d, NULL, NULL, NULL);
    EC_KEY_set_private_key(ec, d);
    EC_KEY_set_public_key(ec, q);
    EC_POINT_free(q);
    return ec;
}

static EC_KEY *internal(U index, int encryption) {
    BIGNUM *d = NULL;
    if (index < 1 || index > KEYS) return NULL;
    BN_hex2bn(&d, SECRETS[index - 1][encryption]);
    EC_KEY *ec = from_secret(d);
    BN_free(d);
    return ec;
}

static void export(EC_KEY *ec, Pub *out) {
    BIGNUM *x = BN_new(), *y = BN_new();
    EC_POINT_get_affine_coordinates(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec), x, y, NULL);
    memset(out, 0, sizeof *out);
    out->bits = 256;
    BN_bn2binpad(x, out->x, 64);
    BN_bn2binpad(y, out->y, 64);
    BN_free(x);
    BN_free(y);
}

static EVP_PKEY *external(const Pub *in) {
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_sm2);
    BIGNUM *x = BN_bin2bn(in->x, 64, NULL), *y = BN_bin2bn(in->y, 64, NULL);
    int ok = EC_KEY_set_public_key_affine_coordinates(ec, x, y);
    BN_free(x);
    BN_free(y);
    if (!ok) { EC_KEY_free(ec); return NULL; }
    return typed(ec, 0);
}

/* DER of GM/T 0009 by hand: SEQUENCE { INTEGER x, INTEGER y, OCTET STRING M, OCTET STRING C }. */
static size_t put(B *out, B tag, const B *body, size_t size) {
    size_t n = 0;
    out[n++] = tag;
    if (size > 127) out[n++] = 0x81;
    out[n++] = (B)size;
    memcpy(out + n, body, size);
    return n + size;
}
static size_t put_integer(B *out, const B *field) {
    B number[65] = {0};
    size_t skip = 0;
    memcpy(number + 1, field, 64);
    while (skip < 64 && !number[skip] && !(number[skip + 1] & 0x80)) skip++;
    return put(out, 2, number + skip, 65 - skip);
}
static size_t take(const B *in, B **body, size_t *size) {
    size_t n = 1;
    *size = in[n++];
    if (*size == 0x81) *size = in[n++];
    else if (*size == 0x82) { *size = in[n] * 256 + in[n + 1]; n += 2; }
    *body = (B *)in + n;
    return n + *size;
}
static size_t take_integer(const B *in, B *field) {
    B *body;
    size_t size, used = take(in, &body, &size);
    memset(field, 0, 64);
    memcpy(field + 64 - size, body, size);
    return used;
}

static int encrypt_to(EVP_PKEY *key, const B *data, U size, Cipher *out) {
    B der[512], *at, *body;
    size_t room = sizeof der, length;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_encrypt(ctx, der, &room, data, size) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) return SKOPERR;
    take(der, &at, &length);
    at += take_integer(at, out->x);
    at += take_integer(at, out->y);
    at += take(at, &body, &length);
    memcpy(out->M, body, 32);
    take(at, &body, &length);
    out->L = (U)length;
    memcpy(out->C, body, length);
    return OK;
}

static int decrypt_with(EVP_PKEY *key, const Cipher *in, B *out, size_t *size) {
    B inner[512], der[520];
    size_t n = 0, total;
    if (in->L > 136) return ENCDATAERR;
    n += put_integer(inner + n, in->x);
    n += put_integer(inner + n, in->y);
    n += put(inner + n, 4, in->M, 32);
    n += put(inner + n, 4, in->C, in->L);
    der[0] = 0x30;
    if (n > 255) { der[1] = 0x82; der[2] = n >> 8; der[3] = n & 255; total = 4; }
    else { der[1] = 0x81; der[2] = (B)n; total = 3; }
    if (n < 128) { der[1] = (B)n; total = 2; }
    memcpy(der + total, inner, n);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok = ctx && EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_decrypt(ctx, out, size, der, total + n) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? OK : ENCDATAERR;
}

int SDF_OpenDevice(void **h) {
    ENTER;
    Device *d = calloc(1, sizeof *d);
    d->pid = getpid();
    *h = d;
    __sync_fetch_and_add(&devices, 1);
    return OK;
}
int SDF_CloseDevice(void *h) {
    ENTER;
    if (((Device *)h)->pid != getpid()) return COMMFAIL;
    free(h);
    __sync_fetch_and_sub(&devices, 1);
    return OK;
}
int SDF_OpenSession(void *h, void **out) {
    ENTER;
    if (((Device *)h)->pid != getpid()) return COMMFAIL;
    Session *s = calloc(1, sizeof *s);
    s->pid = getpid();
    *out = s;
    __sync_fetch_and_add(&sessions, 1);
    return OK;
}
int SDF_CloseSession(void *h) {
    SESSION;
    EVP_MD_CTX_free(s->hash);
    free(s);
    __sync_fetch_and_sub(&sessions, 1);
    return OK;
}
int SDF_GetDeviceInfo(void *h, B *out) {
    SESSION;
    memset(out, 0, 100);
    strcpy((char *)out, "STUB");
    strcpy((char *)out + 40, "stub device");
    strcpy((char *)out + 56, "0001");
    ((U *)(out + 72))[0] = 1;
    ((U *)(out + 72))[1] = 1;
    return OK;
}
int SDF_GenerateRandom(void *h, U size, B *out) {
    SESSION;
    return RAND_bytes(out, (int)size) == 1 ? OK : RANDERR;
}
int SDF_GetPrivateKeyAccessRight(void *h, U index, const B *pin, U size) {
    SESSION;
    if (index < 1 || index > KEYS) return KEYNOTEXIST;
    if (size != strlen(PIN) || memcmp(pin, PIN, size)) return PRKRERR;
    s->rights |= 1u << index;
    return OK;
}
static int export_public(U index, int encryption, Pub *out) {
    EC_KEY *ec = internal(index, encryption);
    if (!ec) return KEYNOTEXIST;
    export(ec, out);
    EC_KEY_free(ec);
    return OK;
}
int SDF_ExportSignPublicKey_ECC(void *h, U index, Pub *out) { SESSION; return export_public(index, 0, out); }
int SDF_ExportEncPublicKey_ECC(void *h, U index, Pub *out) { SESSION; return export_public(index, 1, out); }
int SDF_GenerateKeyPair_ECC(void *h, U alg, U bits, Pub *pub, Priv *priv) {
    SESSION;
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_sm2);
    if (bits != 256 || EC_KEY_generate_key(ec) != 1) { EC_KEY_free(ec); return INARGERR; }
    export(ec, pub);
    memset(priv, 0, sizeof *priv);
    priv->bits = 256;
    BN_bn2binpad(EC_KEY_get0_private_key(ec), priv->K, 64);
    EC_KEY_free(ec);
    return OK;
}
int SDF_GenerateKeyWithIPK_ECC(void *h, U index, U bits, Cipher *out, void **handle) {
    SESSION;
    EC_KEY *ec = internal(index, 1);
    if (!ec || bits != 128) { EC_KEY_free(ec); return KEYNOTEXIST; }
    Key *k = calloc(1, sizeof *k);
    k->pid = getpid();
    RAND_bytes(k->key, 16);
    EVP_PKEY *key = typed(ec, 0);
    int code = encrypt_to(key, k->key, 16, out);
    EVP_PKEY_free(key);
    *handle = k;
    return code;
}
int SDF_ImportKeyWithISK_ECC(void *h, U index, Cipher *in, void **handle) {
    SESSION;
    B plain[160];
    size_t size = sizeof plain;
    EC_KEY *ec = internal(index, 1);
    if (!ec) return KEYNOTEXIST;
    EVP_PKEY *key = typed(ec, 1);
    int code = s->rights >> index & 1 ? decrypt_with(key, in, plain, &size) : PARDENY;
    EVP_PKEY_free(key);
    if (code) return code;
    if (size != 16) return ENCDATAERR;
    Key *k = calloc(1, sizeof *k);
    k->pid = getpid();
    memcpy(k->key, plain, 16);
    *handle = k;
    return OK;
}
int SDF_DestroyKey(void *h, void *key) { SESSION; free(key); return OK; }

int SDF_InternalSign_ECC(void *h, U index, const B *digest, U size, Sig *out) {
    SESSION;
    B der[80], *at, *ignored;
    size_t room = sizeof der, length;
    if (!(s->rights >> index & 1)) return PARDENY;
    EC_KEY *ec = internal(index, 0);
    if (!ec) return KEYNOTEXIST;
    EVP_PKEY *key = typed(ec, 1);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok = EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_sign(ctx, der, &room, digest, size) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok) return SKOPERR;
    take(der, &at, &length);
    at += take_integer(at, out->r);
    take_integer(at, out->s);
    (void)ignored;
    return OK;
}
int SDF_ExternalVerify_ECC(void *h, U alg, Pub *pub, const B *digest, U size, Sig *sig) {
    SESSION;
    B inner[150], der[160];
    size_t n = put_integer(inner, sig->r);
    n += put_integer(inner + n, sig->s);
    size_t total = put(der, 0x30, inner, n);
    EVP_PKEY *key = external(pub);
    if (!key) return INARGERR;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok = EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_verify(ctx, der, total, digest, size) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? OK : VERIFYERR;
}
int SDF_ExternalEncrypt_ECC(void *h, U alg, Pub *pub, const B *data, U size, Cipher *out) {
    SESSION;
    EVP_PKEY *key = external(pub);
    if (!key || size > 136) { EVP_PKEY_free(key); return INARGERR; }
    int code = encrypt_to(key, data, size, out);
    EVP_PKEY_free(key);
    return code;
}
int SDF_InternalDecrypt_ECC(void *h, U index, U alg, Cipher *in, B *out, U *length) {
    SESSION;
    B plain[160];
    size_t size = sizeof plain;
    if (!(s->rights >> index & 1)) return PARDENY;
    EC_KEY *ec = internal(index, 1);
    if (!ec) return KEYNOTEXIST;
    EVP_PKEY *key = typed(ec, 1);
    int code = decrypt_with(key, in, plain, &size);
    EVP_PKEY_free(key);
    if (code) return code;
    if (size > *length) return INARGERR;
    memcpy(out, plain, size);
    *length = (U)size;
    return OK;
}
static int sm4(Key *k, U alg, B *iv, const B *data, U size, B *out, U *length, int encrypt) {
    const EVP_CIPHER *kind = alg == 0x401 ? EVP_sm4_ecb() : alg == 0x402 ? EVP_sm4_cbc() : NULL;
    int n = 0;
    if (!k || k->pid != getpid()) return KEYNOTEXIST;
    if (!kind || size % 16 || size > 16384) return INARGERR;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ok = EVP_CipherInit_ex(ctx, kind, NULL, k->key, iv, encrypt) == 1;
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    ok = ok && EVP_CipherUpdate(ctx, out, &n, data, (int)size) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) return SYMOPERR;
    if (iv && size) memcpy(iv, (encrypt ? out : data) + size - 16, 16);
    *length = (U)n;
    return OK;
}
int SDF_Encrypt(void *h, void *k, U alg, B *iv, const B *data, U size, B *out, U *length) {
    SESSION;
    return sm4(k, alg, iv, data, size, out, length, 1);
}
int SDF_Decrypt(void *h, void *k, U alg, B *iv, const B *data, U size, B *out, U *length) {
    SESSION;
    return sm4(k, alg, iv, data, size, out, length, 0);
}
int SDF_HashInit(void *h, U alg, Pub *pub, const B *id, U size) {
    SESSION;
    if (alg != 1) return INARGERR;
    EVP_MD_CTX_free(s->hash);
    s->hash = EVP_MD_CTX_new();
    EVP_DigestInit_ex(s->hash, EVP_sm3(), NULL);
    if (pub) {
        B head[2] = {size * 8 >> 8, size * 8 & 255}, z[32], value[32];
        EVP_MD_CTX *inner = EVP_MD_CTX_new();
        EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_sm2);
        BIGNUM *a = BN_new(), *b = BN_new(), *x = BN_new(), *y = BN_new(), *p = BN_new();
        EC_GROUP_get_curve(group, p, a, b, NULL);
        EC_POINT_get_affine_coordinates(group, EC_GROUP_get0_generator(group), x, y, NULL);
        BIGNUM *parts[4] = {a, b, x, y};
        EVP_DigestInit_ex(inner, EVP_sm3(), NULL);
        EVP_DigestUpdate(inner, head, 2);
        EVP_DigestUpdate(inner, id, size);
        for (int i = 0; i < 4; i++) { BN_bn2binpad(parts[i], value, 32); EVP_DigestUpdate(inner, value, 32); }
        EVP_DigestUpdate(inner, pub->x + 32, 32);
        EVP_DigestUpdate(inner, pub->y + 32, 32);
        EVP_DigestFinal_ex(inner, z, NULL);
        EVP_DigestUpdate(s->hash, z, 32);
        EVP_MD_CTX_free(inner);
        for (int i = 0; i < 4; i++) BN_free(parts[i]);
        BN_free(p);
        EC_GROUP_free(group);
    }
    return OK;
}
int SDF_HashUpdate(void *h, const B *data, U size) {
    SESSION;
    return s->hash && EVP_DigestUpdate(s->hash, data, size) == 1 ? OK : STEPERR;
}
int SDF_HashFinal(void *h, B *out, U *length) {
    SESSION;
    if (!s->hash) return STEPERR;
    EVP_DigestFinal_ex(s->hash, out, length);
    EVP_MD_CTX_free(s->hash);
    s->hash = NULL;
    return OK;
}
