/* multiclaw-packer: see proto/packer.h. */
int main(void)
{
	return 1;
}
