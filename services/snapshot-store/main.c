/* multiclaw-snapshot-store: see proto/store.h. */
int main(void)
{
	return 1;
}
